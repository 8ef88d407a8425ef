package history

import (
	"bytes"
	"encoding/json"
	"strings"
)

// How files of earlier versions are read. Nothing else knows of their forms.

// UnmarshalJSON also reads the form of plans of schema 1, in which a step had a field for
// the parameters of each kind.
func (s *Step) UnmarshalJSON(text []byte) error {
	type plain Step
	var old struct {
		*plain
		Period  Duration      `json:"period"`
		Clock   *ClockChange  `json:"clock"`
		Packets *PacketChange `json:"packets"`
	}
	*s = Step{}
	old.plain = (*plain)(s)
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	var params any
	switch {
	case len(s.Params) > 0:
		var compact bytes.Buffer
		if err := json.Compact(&compact, s.Params); err != nil {
			return err
		}
		s.Params = compact.Bytes()
		return nil
	case old.Clock != nil:
		params = ClockParameters{ClockChange: *old.Clock, Period: old.Period, Said: s.Said}
		s.Said = "" // it was said of the clock
	case old.Packets != nil:
		params = *old.Packets
	case old.Period > 0:
		params = struct {
			Period Duration `json:"period"`
		}{old.Period}
	default:
		return nil
	}
	var err error
	s.Params, err = json.Marshal(params)
	return err
}

// UnmarshalJSON also reads histories in which only the text of Error says that a step was
// not injected.
func (f *Fault) UnmarshalJSON(text []byte) error {
	type plain Fault
	if err := json.Unmarshal(text, (*plain)(f)); err != nil {
		return err
	}
	if why, is := strings.CutPrefix(f.Error, "not injected: "); is && f.Stage == Inject && !f.Skipped {
		f.Skipped, f.Error = true, why
	}
	return nil
}

// upgradeEvent also reads histories in which a note's text says that the user ended the run.
func upgradeEvent(ev *Event) {
	if ev.Type == Note && strings.HasPrefix(ev.Message, "interrupted after ") {
		ev.Type = Interrupt
	}
}
