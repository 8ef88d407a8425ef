package kit

import "bytes"

// tail keeps the last bytes written to it.
type tail struct {
	content []byte
	most    int
}

func (t *tail) Write(p []byte) (int, error) {
	t.content = append(t.content, p...)
	// Cutting only at twice the size keeps the copying linear.
	if len(t.content) > 2*t.most {
		t.content = append(t.content[:0], t.content[len(t.content)-t.most:]...)
	}
	return len(p), nil
}

// lastLine is the last line of a log that says anything.
func lastLine(log []byte) string {
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(lines[len(lines)-1])
}
