//go:build !linux

package postgres

import "errors"

// syncTree is for nodes, which run Linux.
func syncTree(string) error { return errors.New("sync the copied data: nodes run Linux") }
