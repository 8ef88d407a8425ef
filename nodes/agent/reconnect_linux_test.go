package agent_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// Whoever has the client of a node needs to know nothing of another agent there.
func TestClientSpeaksToTheNextAgentAfterReconnect(t *testing.T) {
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: dir})
	server := startSleep(t, c)
	first := c.Alive()
	kill(t, conn, c)
	if _, err := c.ProcessState(t.Context(), "server"); err == nil || !strings.HasPrefix(err.Error(), "look at server: the agent on n1 is lost: ") {
		t.Errorf("a lost agent answers %v", err)
	}

	if err := c.Reconnect(t.Context(), agenttest.NewConn()); err != nil {
		t.Fatal(err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("the next agent counts as lost: %v", err)
	}
	if context.Cause(first) == nil || first == c.Alive() {
		t.Error("the first agent counts as alive")
	}
	if got := state(t, c); got != server {
		t.Errorf("the server was %+v and is %+v", server, got)
	}
	// Its end comes by the channel that was there before.
	exits := c.Exits()
	if _, err := c.StopProcess(t.Context(), "server", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if exit := <-exits; exit.PID != server.PID || !exit.Expected {
		t.Errorf("got %+v", exit)
	}
	if err := c.Close(t.Context(), false); err != nil {
		t.Error(err)
	}
	if _, open := <-exits; open {
		t.Error("exits are still open after Close")
	}
	want := "start another agent on n1: it was closed"
	if err := c.Reconnect(t.Context(), agenttest.NewConn()); err == nil || err.Error() != want {
		t.Errorf("after Close: got %v, want %s", err, want)
	}
}

// The directory of an agent that lives is locked.
func TestFailedReconnectKeepsTheAgentBefore(t *testing.T) {
	t.Parallel()
	c := agenttest.Connect(t, agenttest.Dir(t))
	first := c.Alive()
	if err := c.Reconnect(t.Context(), agenttest.NewConn()); err == nil {
		t.Fatal("two agents use one directory")
	}
	if first.Err() != nil || c.Err() != nil {
		t.Errorf("a failed attempt lost the agent before: %v", context.Cause(first))
	}
}
