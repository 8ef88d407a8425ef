//go:build ignore

// A client of Redis for nemesis (nemesis-client/1): registers, a goroutine and a connection each process.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

const cas = "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end return 0"

type line struct { // of either kind
	ID, P, Close int64
	Node, F, Key string
	Value        any
	Timeout      int64 `json:"timeout_ms"`
	Nodes        []struct {
		ID, Addr string
		Ports    map[string]int
	}
}

var endings = map[string]string{"+OK": `"type":"ok"`, ":1": `"type":"ok"`, ":0": `"type":"fail","code":22`, "$-1": `"type":"ok","value":null`}

// perform says how an operation ended. The connection is nil after trouble: a late answer must be nobody else's.
func perform(op line, conn net.Conn, address string) (net.Conn, string) {
	limit := time.Now().Add(time.Duration(op.Timeout) * time.Millisecond)
	command := map[string]string{"read": "GET " + op.Key, "write": fmt.Sprint("SET ", op.Key, " ", op.Value),
		"cas": fmt.Sprintf("EVAL %q 1 %s %s", cas, op.Key, strings.Trim(fmt.Sprint(op.Value), "[]"))}[op.F]
	if command == "" {
		return conn, `"type":"fail","code":10`
	}
	if conn == nil || conn.RemoteAddr().String() != address {
		var err error
		if conn, err = net.DialTimeout("tcp", address, time.Until(limit)); err != nil {
			return nil, `"type":"fail","code":11` // nothing was sent
		}
	}
	conn.SetDeadline(limit)
	fmt.Fprintf(conn, "%s\r\n", command)
	answers := bufio.NewReader(conn) // nothing is left in it once the answer is read
	got, err := answers.ReadString('\n')
	if err == nil && strings.HasPrefix(got, "$") && got != "$-1\r\n" {
		got, err = answers.ReadString('\n') // values are digits
	}
	got = strings.TrimSuffix(got, "\r\n")
	switch ending := endings[got]; {
	case err != nil: // it was sent, and nobody knows
		conn.Close()
		return nil, `"type":"info","code":0`
	case ending != "":
		return conn, ending
	case op.F == "read" && json.Valid([]byte(got)):
		return conn, `"type":"ok","value":` + got
	case strings.HasPrefix(got, "-READONLY"), strings.HasPrefix(got, "-LOADING"):
		return conn, `"type":"fail","code":11`
	}
	return conn, `"type":"info","code":13`
}

func main() {
	in, nodes, processes := json.NewDecoder(os.Stdin), map[string]string{}, map[int64]chan line{}
	in.UseNumber() // a float would write 1e+06
	for op := (line{Close: -1}); in.Decode(&op) == nil; op = (line{Close: -1}) {
		for _, n := range op.Nodes { // the hello
			nodes[n.ID] = fmt.Sprintf("%s:%d", n.Addr, n.Ports["client"])
		}
		jobs := processes[op.P]
		switch {
		case op.Nodes != nil:
			fmt.Println(`{"ready":true,"ops":["read","write","cas"]}`)
			continue
		case op.Close >= 0:
			close(processes[op.Close])
			delete(processes, op.Close)
			continue
		case jobs == nil:
			jobs = make(chan line, 2)
			processes[op.P] = jobs
			go func() {
				var conn net.Conn
				for op := range jobs {
					var ended string
					conn, ended = perform(op, conn, nodes[op.Node])
					fmt.Printf("{\"id\":%d,%s}\n", op.ID, ended)
				}
			}()
		}
		jobs <- op
	}
}
