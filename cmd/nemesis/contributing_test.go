package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestContributingNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	// What is code and looks like a path of this repository.
	paths := regexp.MustCompile("`([a-z.][a-z_]*(?:/[A-Za-z_.0-9]+)+|[A-Za-z]+\\.(?:md|yaml))`").FindAllStringSubmatch(string(text), -1)
	if len(paths) < 40 {
		t.Errorf("only %d paths are named", len(paths))
	}
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join("../..", path[1])); err != nil {
			t.Errorf("CONTRIBUTING.md names %s: %v", path[1], err)
		}
	}
}
