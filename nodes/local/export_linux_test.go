package local

// WithoutOverlays are options for a kernel that refuses overlays.
func WithoutOverlays(o Options) Options {
	o.patchwork = true
	return o
}
