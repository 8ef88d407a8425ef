package history

// LogLine is a line of a server's log in which the server, its runtime or a sanitizer says
// that something is wrong with the server itself, as checker/serverlog found it. It is the
// first of its class in one file. Texts are the server's, and hostile.
type LogLine struct {
	// Server is the supervised process's name, "" where that is not known.
	Server string `json:"server,omitempty"`
	// File is the collected file's name in the node's directory, Line its line there, from 1.
	File string `json:"file"`
	Line int    `json:"line"`
	// Class is what it says: panic, data-race, corruption, ….
	Class string `json:"class"`
	Text  string `json:"text"`
	// Then are the lines behind it, as far as they help.
	Then []string `json:"then,omitempty"`
	// Stamp is the last time that the log told by then, as it has it, by the server's clock;
	// "" where it tells none.
	Stamp string `json:"stamp,omitempty"`
	// Count is how many such lines the file has, this one included.
	Count int `json:"count"`
}

// LogPattern says which lines of a system's logs are LogLines of a class.
type LogPattern struct {
	Class string `json:"class"`
	// Expr is a regular expression of package regexp that must fit from the line's first byte
	// on. What a client sent never begins a line of a log that can be searched so.
	Expr string `json:"expr"`
}
