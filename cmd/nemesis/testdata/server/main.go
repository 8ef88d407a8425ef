// Command server looks like etcd until it is started. What it does then is decided
// when it is built:
//
//	go build -ldflags "-X main.habit=exits"
package main

import (
	"fmt"
	"os"
	"slices"
	"time"
)

var habit string

func main() {
	if slices.Contains(os.Args, "--version") {
		fmt.Println("etcd Version: 3.6.9")
		return
	}
	switch habit {
	case "exits":
		fmt.Fprintln(os.Stderr, "starting")
		fmt.Fprintln(os.Stderr, "bad flag\x1b[2J: --name")
		os.Exit(2)
	case "silent": // runs, but listens nowhere
		fmt.Fprintln(os.Stderr, "serving, honestly")
		time.Sleep(time.Hour)
	}
}
