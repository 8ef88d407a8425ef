package spec

import "encoding/json"

// Keys are any bytes, which strings of JSON are not: they are encoded as base64.

type keyRange struct {
	From []byte `json:"from"`
	To   []byte `json:"to,omitempty"`
}

// MarshalJSON encodes the range.
func (r KeyRange) MarshalJSON() ([]byte, error) {
	return json.Marshal(keyRange{[]byte(r.From), []byte(r.To)})
}

// UnmarshalJSON decodes a range.
func (r *KeyRange) UnmarshalJSON(b []byte) error {
	var k keyRange
	err := json.Unmarshal(b, &k)
	*r = KeyRange{string(k.From), string(k.To)}
	return err
}

type plainServe Serve // without methods

type serve struct {
	plainServe
	Key []byte `json:"key"`
}

// MarshalJSON encodes the step.
func (e Serve) MarshalJSON() ([]byte, error) {
	return json.Marshal(serve{plainServe(e), []byte(e.Key)})
}

// UnmarshalJSON decodes a step.
func (e *Serve) UnmarshalJSON(b []byte) error {
	var s serve
	err := json.Unmarshal(b, &s)
	*e = Serve(s.plainServe)
	e.Key = string(s.Key)
	return err
}
