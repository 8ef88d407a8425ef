package run

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"nemesis/clients"
	"nemesis/clients/etcd"
	"nemesis/clients/file"
	"nemesis/clients/ironkv"
	"nemesis/clients/ironlock"
	"nemesis/clients/ironrsl"
	"nemesis/clients/lock"
	"nemesis/clients/mariadb"
	"nemesis/clients/paxos"
	"nemesis/clients/postgres"
	"nemesis/clients/shardkv"
	"nemesis/history"
	"nemesis/systems"
)

// Systems is the table of the systems that have Go code. Named has those that are files, too.
func Systems() []clients.System {
	return []clients.System{etcd.System{}, paxos.System{}, shardkv.System{}, lock.System{}, ironrsl.System{}, ironkv.System{}, ironlock.System{}, postgres.System{}, mariadb.System{}}
}

// Named are all systems that are known by their names: those with Go code, and those that are files of package
// systems and nothing else.
func Named() []clients.System {
	all := Systems()
	for _, name := range systems.Names() {
		if s, err := embedded(name); err == nil { // a test holds them to that
			all = append(all, s)
		}
	}
	return all
}

// embedded is a system of package systems.
func embedded(name string) (clients.System, error) {
	text, is := systems.Read(name)
	if !is {
		return nil, fmt.Errorf("find system: there is no %q", name)
	}
	d, err := file.Parse(name+".yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	return file.New(d), nil
}

// SystemOf is the system of a plan: the one in its definition, or the one of its name in
// Named.
func SystemOf(plan history.System) (clients.System, error) { return systemOf(nil, plan) }

func systemOf(table []clients.System, plan history.System) (clients.System, error) {
	if plan.Definition == nil {
		return findSystem(table, plan.Name)
	}
	d, err := file.ParseWith(filepath.Join(plan.Definition.Dir, plan.Name+".yaml"), []byte(plan.Definition.Text), file.Held(plan.Definition.Models))
	if err != nil {
		return nil, err
	}
	if d.System != plan.Name {
		return nil, fmt.Errorf("find system: the plan names %q, and the file in it says %q", plan.Name, d.System)
	}
	return file.New(d), nil
}

// IsFile reports whether what a user types for a system is the path of a file: it has a
// separator, or ends as YAML files do.
func IsFile(system string) bool {
	return strings.ContainsRune(system, filepath.Separator) || slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(system))
}

// ReadSystem is the system that a user means by a name or by the path of a file, as plans
// have it.
func ReadSystem(system string) (history.System, error) {
	if !IsFile(system) {
		return history.System{Name: system}, nil
	}
	text, err := history.ReadFile(system, file.MostText)
	if err != nil {
		return history.System{}, fmt.Errorf("read the system's file: %w", err)
	}
	d, err := file.Parse(system, text)
	if err != nil {
		return history.System{}, err
	}
	dir, err := filepath.Abs(filepath.Dir(system))
	if err != nil {
		return history.System{}, fmt.Errorf("read the system's file: %w", err)
	}
	return history.System{Name: d.System, Definition: &history.Definition{Text: string(text), Dir: dir, Models: d.Models}}, nil
}

// DefaultNodes is how many local nodes a system takes where the user says nothing; 0 says
// nothing.
func DefaultNodes(plan history.System) int {
	system, err := SystemOf(plan)
	if sized, is := system.(clients.Sized); is && err == nil {
		return sized.DefaultNodes()
	}
	return 0
}

// findSystem finds a system in a table, or in Named where there is none.
func findSystem(table []clients.System, name string) (clients.System, error) {
	var files []string
	if table == nil {
		table, files = Systems(), systems.Names()
	}
	names := []string{}
	for _, s := range table {
		if s.Name() == name {
			return s, nil
		}
		names = append(names, s.Name())
	}
	if slices.Contains(files, name) {
		return embedded(name)
	}
	names = append(names, files...)
	return nil, fmt.Errorf("find system: %q is not one of %s, nor the path of a file such as ./%s.yaml", name, strings.Join(names, ", "), name)
}
