package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// answerSchema is the version of what commands print with --json; docs/json.md has the
// fields. Fields are only ever added within one version.
const answerSchema = 1

// jsonFlag is the flag --json of a command that answers once.
type jsonFlag struct{ on bool }

func (f *jsonFlag) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.on, "json", false, "print one JSON object (docs/json.md)")
}

// answer prints one line: a JSON object with the schema, the command and the fields of v,
// which becomes an object.
func answer(w io.Writer, command string, v any) error {
	text, err := json.Marshal(v)
	if err == nil && !bytes.HasPrefix(text, []byte("{")) {
		err = fmt.Errorf("%T is no object", v)
	}
	if err != nil {
		return fmt.Errorf("answer %s in JSON: %w", command, err)
	}
	name, _ := json.Marshal(command) // a string
	head := fmt.Sprintf(`{"schema":%d,"command":%s`, answerSchema, name)
	if rest := bytes.TrimPrefix(text, []byte("{")); !bytes.Equal(rest, []byte("}")) {
		head += ","
	}
	_, err = fmt.Fprintf(w, "%s%s\n", head, text[1:])
	return err
}
