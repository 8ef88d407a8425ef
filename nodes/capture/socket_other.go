//go:build !linux

package capture

import (
	"context"
	"errors"
)

// Run captures packets, which only Linux can here.
func Run(context.Context, Filter, string, int64) error {
	return errors.New("capture packets: this works on Linux only")
}
