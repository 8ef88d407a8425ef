package run

import (
	"fmt"
	"strings"

	"nemesis/clients"
	"nemesis/clients/etcd"
)

// Systems is the table of everything nemesis can test.
func Systems() []clients.System {
	return []clients.System{etcd.System{}}
}

// FindSystem finds a system by the name a user types.
func FindSystem(name string) (clients.System, error) {
	names := []string{}
	for _, s := range Systems() {
		if s.Name() == name {
			return s, nil
		}
		names = append(names, s.Name())
	}
	return nil, fmt.Errorf("find system: %q is not one of %s", name, strings.Join(names, ", "))
}
