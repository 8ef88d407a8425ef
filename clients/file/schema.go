package file

import (
	"reflect"

	"nemesis/history"
)

// Schema is the JSON schema of a system's file, made of the types that it is read into.
func Schema() map[string]any {
	s := schemaOf(reflect.TypeFor[Definition]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "A system that nemesis tests"
	s["required"] = []string{"system", "processes", "client"}
	return s
}

// described is a type that describes itself, such as one that may be a text or a list.
type described interface{ schema() map[string]any }

func text() map[string]any {
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}

func listOf(items map[string]any) map[string]any {
	return map[string]any{"type": "array", "items": items}
}

func mapOf(values map[string]any) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": values}
}

func either(all ...map[string]any) map[string]any { return map[string]any{"anyOf": all} }

// schemaOf describes a type as the decoder reads it.
func schemaOf(t reflect.Type) map[string]any {
	if t == reflect.TypeFor[history.Duration]() {
		return map[string]any{"type": "string", "examples": []string{"5s", "1m30s"}}
	}
	if d, is := reflect.New(t).Interface().(described); is {
		return d.schema()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Struct:
		properties := map[string]any{}
		for _, f := range reflect.VisibleFields(t) {
			name := f.Tag.Get("yaml")
			if name == "" || name == "-" {
				continue
			}
			var property map[string]any
			if f.Type == reflect.TypeFor[[]Probe]() { // it holds itself
				property = listOf(map[string]any{"type": "object"})
			} else {
				property = schemaOf(f.Type)
			}
			if doc := f.Tag.Get("doc"); doc != "" {
				property["description"] = doc
			}
			properties[name] = property
		}
		object := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
		if alone := aloneIn(t); alone != nil {
			return either(schemaOf(alone.Type), object)
		}
		return object
	case reflect.Slice:
		element := schemaOf(t.Elem())
		return either(listOf(element), element)
	case reflect.Map:
		return mapOf(schemaOf(t.Elem()))
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Uint16:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return text()
}

func (m *Named[T]) schema() map[string]any { return mapOf(schemaOf(reflect.TypeFor[T]())) }

func (*Ports) schema() map[string]any {
	port := map[string]any{"type": "integer", "minimum": 1, "maximum": 65535}
	return either(mapOf(port), listOf(port))
}

func (*Command) schema() map[string]any { return either(text(), listOf(text())) }

func (*Environment) schema() map[string]any { return either(mapOf(text()), listOf(text())) }

func (*Dependencies) schema() map[string]any {
	return either(listOf(text()), mapOf(map[string]any{"type": "object", "properties": map[string]any{"condition": text()}, "additionalProperties": false}))
}

func (*Source) schema() map[string]any {
	return either(text(), map[string]any{"type": "object", "additionalProperties": false,
		"properties": map[string]any{"sentence": text(), "address": text()}})
}
