package power

import (
	"nemesis/nodes"
	"nemesis/nodes/ssh"
)

// OfVagrant is the power of the machines of a Vagrantfile. Those of libvirt are
// asked by virsh, which pulls the plug at once; Vagrant takes seconds to begin.
func OfVagrant(v ssh.Vagrant) nodes.Power {
	domains := Libvirt{Domains: map[string]string{}}
	each := Either{Of: map[string]nodes.Power{}, Else: Vagrant{Dir: v.Dir}}
	for _, m := range v.Machines {
		if m.Provider == "libvirt" {
			domains.Domains[m.Name] = m.ID
			each.Of[m.Name] = domains
		}
	}
	return each
}
