// Package run stands for nemesis's own, whose version the linker writes.
package run

var release = "devel"

// Release is the version.
func Release() string { return release }
