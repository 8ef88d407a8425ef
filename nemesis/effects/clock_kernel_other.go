//go:build !linux || !(amd64 || arm64)

package effects

import (
	"errors"
	"time"
)

var errNoKernel = errors.New("the machine's clock can only be changed on Linux on amd64 or arm64")

// foreign is a kernel that we do not know how to ask.
type foreign struct{}

func theKernel() kernel { return foreign{} }

func machineOurs() error { return errNoKernel }

func (foreign) now() (instant, error)     { return instant{}, errNoKernel }
func (foreign) shift(time.Duration) error { return errNoKernel }
func (foreign) pace() (pace, error)       { return pace{}, errNoKernel }
func (foreign) setPace(pace) error        { return errNoKernel }
func (foreign) boot() string              { return "" }
