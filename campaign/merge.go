package campaign

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Merge joins the shards of a night into out, as if there had been none, and judges the
// whole; archive is as in Config. A shard that is missing, or that did not end, makes the night red: its
// canaries and cells were not looked at. Directories that are of different nights or files
// are a run.UsageError.
func Merge(shards []string, out, archiveDir string, now time.Time) (Night, error) {
	manifest, results, blames, err := join(shards)
	if err != nil {
		return Night{}, err
	}
	archive, err := OpenArchive(archiveDir)
	if err == nil {
		err = archive.free(manifest.Night, manifest.Campaign, manifest.Subject)
	}
	if err != nil {
		return Night{}, err
	}
	switch old, err := readManifest(out); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Night{}, err
	case !old.same(manifest) || old.Shard != Whole:
		return Night{}, usage("merge shards: %s holds %s, night %s, shard %s, which would be lost; name another --out", out, old.Campaign, old.Night, old.Shard)
	}
	if err := os.MkdirAll(filepath.Join(out, runsDir), 0o755); err != nil {
		return Night{}, fmt.Errorf("merge shards: %w", err)
	}
	if err := writeJSON(filepath.Join(out, ManifestFile), manifest); err != nil {
		return Night{}, err
	}
	if err := writeResults(filepath.Join(out, ResultsFile), results); err != nil {
		return Night{}, err
	}
	for _, dir := range shards {
		if err := bring(filepath.Join(dir, runsDir), filepath.Join(out, runsDir)); err != nil {
			return Night{}, err
		}
	}
	night := Judge(manifest, results, archive, now)
	night.blames = append(night.blames, blames...)
	night.conclude()
	if err := trim(out, manifest.Artifacts, &night); err != nil {
		return night, err
	}
	if archiveDir != "" {
		archive.add(&night, manifest, results, out)
	}
	return night, Write(out, night)
}

// join reads the shards and says what is wrong with them as a whole.
func join(shards []string) (whole Manifest, results []Result, blames []blame, err error) {
	seen := map[int]string{}
	from := map[string]string{}
	for i, dir := range shards {
		m, some, err := ReadResults(dir)
		if err != nil {
			return whole, nil, nil, usage("merge shards: %w", err)
		}
		switch first, twice := seen[m.Shard.Number]; {
		case i == 0:
			whole = m
			whole.Replays, whole.Rechecks = nil, nil
		case !m.same(whole) || m.Shard.Of != whole.Shard.Of:
			return whole, nil, nil, usage("merge shards: %s is shard %s of %s, night %s, and %s is shard %s of %s, night %s, or of another file; merge parts of one night",
				dir, m.Shard, m.Campaign, m.Night, shards[0], whole.Shard, whole.Campaign, whole.Night)
		case twice:
			return whole, nil, nil, usage("merge shards: %s and %s are both shard %s", first, dir, m.Shard)
		}
		seen[m.Shard.Number] = dir
		whole.Replays, whole.Rechecks = append(whole.Replays, m.Replays...), append(whole.Rechecks, m.Rechecks...)
		if m.Began.Before(whole.Began) {
			whole.Began = m.Began
		}
		for _, r := range some {
			if other, twice := from[r.ID]; twice {
				return whole, nil, nil, usage("merge shards: %s and %s both have a result of %s", other, dir, r.ID)
			}
			from[r.ID] = dir
			results = append(results, r)
		}
		var night Night
		switch err := readJSON(filepath.Join(dir, NightFile), &night); {
		case err != nil:
			blames = append(blames, blame{checker.Harness, fmt.Sprintf("shard %s did not end", m.Shard)})
		default:
			// What only the shard itself knew, such as that it was stopped.
			for _, reason := range night.Reasons {
				if strings.HasPrefix(reason, stoppedReason) {
					blames = append(blames, blame{checker.Harness, fmt.Sprintf("shard %s: %s", m.Shard, reason)})
				}
			}
		}
	}
	if len(shards) == 0 {
		return whole, nil, nil, usage("merge shards: name the directories of the shards")
	}
	for n := 1; n <= whole.Shard.Of; n++ {
		if seen[n] == "" {
			blames = append(blames, blame{checker.Harness, fmt.Sprintf("shard %d/%d is missing", n, whole.Shard.Of)})
		}
	}
	whole.Shard = Whole
	return whole, inOrder(results), blames, nil
}

// bring links or copies run directories. One that is there already stays.
func bring(from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type().IsRegular() && !exists(target):
			return linkOrCopy(path, target)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("merge shards: %w", err)
	}
	return nil
}

func writeResults(path string, results []Result) error {
	var lines [][]byte
	for _, r := range results {
		line, err := encode(r)
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	return history.WriteFile(path, 0o644, slices.Concat(lines...))
}
