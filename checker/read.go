package checker

import (
	"encoding/json"
	"fmt"
	"strings"

	"nemesis/history"
)

// ReadVerdict reads the verdict of a run; one of an older schema comes as one of
// VerdictSchema. An error wraps fs.ErrNotExist where there is none.
func ReadVerdict(dir history.Dir) (Verdict, error) {
	path := dir.Path(history.VerdictFile)
	text, err := history.ReadFile(path, history.MostJSON)
	if err != nil {
		return Verdict{}, fmt.Errorf("read run: %w", err)
	}
	var v Verdict
	if err := json.Unmarshal(text, &v); err != nil {
		return Verdict{}, fmt.Errorf("read %s: %w", path, err)
	}
	switch v.Schema {
	case VerdictSchema:
		return v, nil
	case 1:
		if err := v.upgradeFrom1(text); err != nil {
			return Verdict{}, fmt.Errorf("read %s: %w", path, err)
		}
		return v, nil
	}
	return Verdict{}, fmt.Errorf("read %s: its schema is %d, this nemesis reads 1 to %d; run nemesis check to write it anew", path, v.Schema, VerdictSchema)
}

// upgradeFrom1 fills in what verdicts had no place for. With schema 1 there were the
// claim's sentence and its assumptions, without names, and no model.
func (v *Verdict) upgradeFrom1(text []byte) error {
	var old struct {
		Promise string `json:"promise"`
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	v.Schema = VerdictSchema
	v.Interrupted = strings.Contains(strings.Join(v.Reasons, " "), "the run was interrupted after ")
	v.Claim = history.Claim{Origin: history.Unrecorded}
	if old.Promise != "" {
		v.Claim.Sources = []history.Source{{Sentence: old.Promise}}
	}
	return nil
}
