package run

import (
	"fmt"
	"strings"

	"nemesis/clients"
	"nemesis/clients/etcd"
	"nemesis/clients/ironkv"
	"nemesis/clients/ironlock"
	"nemesis/clients/ironrsl"
	"nemesis/clients/lock"
	"nemesis/clients/paxos"
	"nemesis/clients/postgres"
	"nemesis/clients/shardkv"
)

// Systems is the table of everything nemesis can test.
func Systems() []clients.System {
	return []clients.System{etcd.System{}, paxos.System{}, shardkv.System{}, lock.System{}, ironrsl.System{}, ironkv.System{}, ironlock.System{}, postgres.System{}}
}

// FindSystem finds a system by the name a user types.
func FindSystem(name string) (clients.System, error) { return findSystem(nil, name) }

// findSystem finds a system in a table, or in Systems where there is none.
func findSystem(table []clients.System, name string) (clients.System, error) {
	if table == nil {
		table = Systems()
	}
	names := []string{}
	for _, s := range table {
		if s.Name() == name {
			return s, nil
		}
		names = append(names, s.Name())
	}
	return nil, fmt.Errorf("find system: %q is not one of %s", name, strings.Join(names, ", "))
}
