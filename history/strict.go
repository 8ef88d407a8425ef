package history

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// strict says which field of a JSON text is none of v's type, or is there twice:
// encoding/json drops the one and lets the last of the others win, so that a misspelt field
// of a plan written by hand would be no mistake but another plan. also names fields that
// are read besides, by the path that has them. The text is valid JSON.
func strict(text []byte, v any, also map[string][]string) error {
	w := walker{decoder: json.NewDecoder(bytes.NewReader(text)), also: also}
	return w.value(reflect.TypeOf(v), "", "")
}

// walker goes through a JSON text beside the type that it is read into.
type walker struct {
	decoder *json.Decoder
	also    map[string][]string
}

var textReader = reflect.TypeFor[encoding.TextUnmarshaler]()

// value checks the next value. path is where it is, for a person; in is the same without
// positions. t is nil for what is not looked into.
func (w *walker) value(t reflect.Type, path, in string) error {
	token, err := w.decoder.Token()
	if err != nil {
		return err
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[json.RawMessage]() || t != nil && reflect.PointerTo(t).Implements(textReader) {
		t = nil
	}
	switch token {
	case json.Delim('{'):
		return w.object(t, path, in)
	case json.Delim('['):
		var element reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			element = t.Elem()
		}
		for i := 0; w.decoder.More(); i++ {
			if err := w.value(element, path+"["+strconv.Itoa(i)+"]", in); err != nil {
				return err
			}
		}
		_, err = w.decoder.Token()
		return err
	}
	return nil
}

func (w *walker) object(t reflect.Type, path, in string) error {
	var fields map[string]reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		fields = jsonFields(t)
	}
	seen := map[string]bool{}
	for w.decoder.More() {
		token, err := w.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		here, below := join(path, name), join(in, name)
		if seen[name] {
			return fmt.Errorf("%s is there twice; leave one", here)
		}
		seen[name] = true
		var of reflect.Type
		switch {
		case fields != nil:
			var known bool
			if of, known = fields[name]; !known && !slices.Contains(w.also[in], name) {
				return unknownField(here, name, fields)
			}
		case t != nil && t.Kind() == reflect.Map:
			of = t.Elem()
		}
		if err := w.value(of, here, below); err != nil {
			return err
		}
	}
	_, err := w.decoder.Token()
	return err
}

func unknownField(path, name string, fields map[string]reflect.Type) error {
	if near := Nearest(name, slices.Sorted(maps.Keys(fields))); near != "" {
		return fmt.Errorf("there is no field %s; did you mean %s?", strconv.Quote(path), near)
	}
	return fmt.Errorf("there is no field %s", strconv.Quote(path))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// jsonFields are the fields that encoding/json reads a type's objects into, those of
// embedded types included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "": // its fields are visible ones
		case name == "-" || !f.IsExported():
		case name == "":
			fields[f.Name] = f.Type
		default:
			fields[name] = f.Type
		}
	}
	return fields
}
