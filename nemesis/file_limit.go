package nemesis

import (
	"fmt"
	"strconv"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// roomLeft is how many more files, or threads, than it has are left to a server.
type roomLeft struct {
	Room int `json:"room"`
}

func parseRoom(text string) (roomLeft, bool) {
	n, err := strconv.Atoi(text)
	return roomLeft{n}, err == nil
}

func (r roomLeft) can() error {
	if r.Room < 0 || r.Room > 1_000_000 {
		return fmt.Errorf("%d more are not from 0 to 1000000", r.Room)
	}
	return nil
}

// fileLimit lets servers open no more files and connections than they have.
func fileLimit() Fault {
	return limitFault[roomLeft]{
		name: "file-limit", kind: effects.FileLimitKind,
		doc:     "let servers open no more files and connections (EMFILE)",
		special: "file-limit makes servers fail that need files, and some end",
		values:  "how many more files and connections than it has open file-limit leaves to a server, a list to draw from, such as 0,8 (default: 0)",
		example: "8", unit: "a number of files from 0 to 1000000",
		usual: []roomLeft{{0}},
		parse: parseRoom, can: roomLeft.can,
		words: func(r roomLeft) string { return "let %s open " + fmt.Sprint(r.Room) + " more files than it has" },
		effect: func(id, process string, r roomLeft) agent.Effect {
			return &effects.FileLimit{ID: id, Process: process, Room: r.Room}
		},
	}
}
