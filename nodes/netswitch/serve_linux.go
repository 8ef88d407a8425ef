package netswitch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// answerTime is how long a switch that could not be opened stays to say so.
const answerTime = 5 * time.Second

// socketOf is an abstract socket, which leaves nothing behind and is in the node's network
// namespace: two nodes do not share it.
func socketOf(device string) string { return "@nemesis-switch-" + device }

// Serve opens a switch, runs it until ctx is done, and answers Ask meanwhile.
func Serve(ctx context.Context, o Options) error {
	l, err := net.Listen("unix", socketOf(o.Device))
	if err != nil {
		return fmt.Errorf("listen for questions about the switch %s: %w", o.Device, err)
	}
	defer l.Close()
	s, opened := Open(o)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			status := Status{}
			if opened != nil {
				status.Error = opened.Error()
			} else {
				status.Counts = s.Counts()
				if o.Observe != nil {
					status.Observed = o.Observe()
				}
			}
			_ = c.SetDeadline(time.Now().Add(answerTime)) // whoever asks and does not listen
			_ = json.NewEncoder(c).Encode(status)
			c.Close()
		}
	}()
	if opened != nil {
		select {
		case <-ctx.Done():
		case <-time.After(answerTime):
		}
		return opened
	}
	defer context.AfterFunc(ctx, s.Stop)()
	return s.Run()
}

// Ask asks the switch with this device what it did.
func Ask(device string) (Status, error) {
	var status Status
	c, err := net.DialTimeout("unix", socketOf(device), answerTime)
	if err != nil {
		return status, fmt.Errorf("ask the switch %s: %w", device, err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(answerTime))
	text, err := io.ReadAll(c)
	if err == nil {
		err = json.Unmarshal(text, &status)
	}
	if err != nil {
		return status, fmt.Errorf("ask the switch %s: %w", device, err)
	}
	return status, nil
}
