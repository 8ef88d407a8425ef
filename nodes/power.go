package nodes

import "context"

// Power turns machines off and on as their plug does: what a machine had not made
// durable is lost. It is told nodes by their names. Methods are called for different
// nodes at once.
type Power interface {
	// Off takes the power from a node and returns once it has none: nothing is flushed
	// and nobody is told. A node without power is off already.
	Off(ctx context.Context, node string) error
	// On gives it power again. It returns when the machine has begun to boot, not when it
	// can be reached. A node that has power is left alone.
	On(ctx context.Context, node string) error
}
