package npm

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"nemesis/clients/cache"
)

// Install is the directory in the user's cache in which a package is installed with what it depends on, as node_modules.
// Where it is not there npm installs it, without the scripts of packages, also one for another processor. Version may be "" for the newest. cacheDir ""
// means os.UserCacheDir. An error is one line.
func Install(ctx context.Context, p Package, cacheDir string, w io.Writer) (string, error) {
	dir, err := install(ctx, p, cacheDir, w)
	if err != nil {
		return "", fmt.Errorf("get %s %s: %w", p.As, cmp.Or(p.Version, "(the newest)"), err)
	}
	return dir, nil
}

func install(ctx context.Context, p Package, cacheDir string, w io.Writer) (string, error) {
	clean := strings.NewReplacer("/", "_", "\\", "_", ":", "_", " ", "_").Replace
	dir, err := cache.Dir(cacheDir, clean("npm-"+p.Name+"-"+cmp.Or(p.Version, "newest")))
	if err != nil {
		return "", err
	}
	return dir, cache.Fill(dir, func(work string) error {
		run, err := find(p)
		if err != nil {
			return err
		}
		wanted := p.Name
		if p.Version != "" {
			version := p.Version
			if versionForm.MatchString(version) { // else a tag, or all of a version
				if version, err = run.version(ctx, p); err != nil {
					return err
				}
			}
			wanted += "@" + version
		}
		fmt.Fprintf(w, "%s: installing it with npm\n", wanted)
		_, err = run.output(ctx, "install", "--prefix", work, "--no-audit", "--no-fund", "--ignore-scripts", "--force", wanted)
		return err
	})
}
