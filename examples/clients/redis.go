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

var endings = map[string]string{"+OK": `"type":"ok"`, ":1": `"type":"ok"`, ":0": `"type":"fail","code":22`, "$-1": `"type":"ok","value":null`, "-READONLY": `"type":"fail","code":11`, "-LOADING": `"type":"fail","code":11`}

type line struct { // of any kind
	ID, P, Close int64
	Node, F, Key string
	Value        any
	Timeout      int64 `json:"timeout_ms"`
	Nodes        []map[string]any
}

func perform(op line, conn *net.Conn, address string) string { // how it ended; after trouble the connection is nil: a late answer must be nobody else's
	limit, err := time.Now().Add(time.Duration(op.Timeout)*time.Millisecond), error(nil)
	command := map[string]string{"read": "GET " + op.Key, "write": fmt.Sprint("SET ", op.Key, " ", op.Value), "cas": fmt.Sprintf("EVAL %q 1 %s %s", "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end return 0", op.Key, strings.Trim(fmt.Sprint(op.Value), "[]"))}[op.F]
	if command == "" {
		return `"type":"fail","code":10`
	}
	if *conn == nil {
		if *conn, err = net.DialTimeout("tcp", address, time.Until(limit)); err != nil {
			return `"type":"fail","code":11` // nothing was sent
		}
	}
	(*conn).SetDeadline(limit)
	fmt.Fprintf(*conn, "%s\r\n", command)
	answers := bufio.NewReader(*conn) // nothing is left in it once the answer is read
	got, err := answers.ReadString('\n')
	if err == nil && got[0] == '$' && got != "$-1\r\n" {
		got, err = answers.ReadString('\n') // values are digits
	}
	switch word, _, _ := strings.Cut(strings.TrimSpace(got), " "); {
	case err != nil: // it was sent, and nobody knows
		(*conn).Close()
		*conn = nil
		return `"type":"info","code":0`
	case endings[word] != "":
		return endings[word]
	case op.F == "read" && json.Valid([]byte(word)):
		return `"type":"ok","value":` + word
	}
	return `"type":"info","code":13`
}
func main() {
	in, nodes, processes := json.NewDecoder(os.Stdin), map[any]string{}, map[int64]chan line{}
	in.UseNumber() // a float would write 1e+06
	var hello line
	in.Decode(&hello)
	for _, n := range hello.Nodes {
		nodes[n["id"]] = fmt.Sprint(n["addr"], ":", n["ports"].(map[string]any)["client"])
	}
	fmt.Println(`{"ready":true,"ops":["read","write","cas"]}`)
	for op := (line{Close: -1}); in.Decode(&op) == nil; op = (line{Close: -1}) {
		if op.Close >= 0 {
			close(processes[op.Close]) // its number is not used again
			continue
		} else if processes[op.P] == nil {
			processes[op.P] = make(chan line, 2)
			go func(jobs chan line, conn net.Conn) {
				for op := range jobs {
					fmt.Printf("{\"id\":%d,%s}\n", op.ID, perform(op, &conn, nodes[op.Node]))
				}
			}(processes[op.P], nil)
		}
		processes[op.P] <- op
	}
}
