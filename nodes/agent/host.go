package agent

// Host is the node as effects see it: the agent's directory and the processes it
// supervises. Effects reach the kernel themselves.
type Host struct {
	// Dir is the agent's directory.
	Dir string
}
