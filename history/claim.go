package history

import "slices"

// Claim is what a run holds a system to: what its documentation says of it in one
// configuration, with the numbers and the assumptions, or what the user asked for
// instead. It is data of the plan, so that a run can be judged by whoever has its
// directory.
type Claim struct {
	// Model is the consistency model of its operations; "" claims none.
	Model Model `json:"model,omitempty"`
	// Origin says where Model is from, Documented what the documentation claims where the
	// user asked for another one.
	Origin     Origin `json:"origin"`
	Documented Model  `json:"documented,omitempty"`
	// Rules are those of leases, locks, elections and ownership that are claimed besides.
	Rules []Model `json:"rules,omitempty"`
	// Specification names what each step that the servers trace must be allowed by; "" where they trace none.
	Specification string `json:"specification,omitempty"`
	// MovesItself: shards change owners also without being moved, such as when an owner fails.
	MovesItself bool `json:"movesItself,omitempty"`
	// Clocked: what Model promises, and that answers under an epoch end when a later one begins, rests on clocks, too.
	Clocked bool `json:"clocked,omitempty"`
	// Bounds are the numbers.
	Bounds Bounds `json:"bounds"`
	// Assumptions are what the claim takes for granted.
	Assumptions []Assumption `json:"assumptions,omitempty"`
	// Sources are the sentences of the documentation that say so.
	Sources []Source `json:"sources,omitempty"`
	// Notes are what is to be known beside any verdict on this configuration, a sentence each, such as a defect that the
	// user asked the system to have.
	Notes []string `json:"notes,omitempty"`
}

// Origin says where a claim's model is from.
type Origin string

const (
	// Documented: the system's documentation.
	Documented Origin = "documented"
	// AskedFor: the user, with --claim.
	AskedFor Origin = "asked for by you"
	// Unrecorded: the plan is older than claims in plans. It is held to what its nemesis
	// held every run to.
	Unrecorded Origin = "not recorded"
)

// Assumption is one thing that a claim takes for granted.
type Assumption struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Names of assumptions on which something is decided.
const (
	// ClockError: clocks are as right as the Bounds' ClockRate and ClockOffset say. A
	// finding that rests on clocks which were not breaks no claim that assumes it.
	ClockError = "clock-error"
	// CrashRecovery: servers stop, pause and come back, but never lie.
	CrashRecovery = "crash-recovery"
	// FsyncHonoured: what was synced to a disk is still there after a restart, as it was
	// written. What is found after a disk lied (DiskLie) breaks no claim that assumes it.
	FsyncHonoured = "fsync-honoured"
	// NetworkIntegrity: what a server receives is what another one sent, or nothing. Every claim
	// takes it for granted, whether or not it says so: TCP promises it to programs. What is found after
	// packets were changed together with their checksums (PacketDamage) breaks none.
	NetworkIntegrity = "network-integrity"
	// CrashStop: a server that ended does not come back. What is found after one was started again breaks no claim that assumes it.
	CrashStop = "crash-stop"
	// MajorityConnected: most of the time a majority of the servers can talk to each other.
	MajorityConnected = "majority-connected"
)

// PacketDamage is the kind of the faults under which packets arrive with other contents than were
// sent, and checksums that are right.
const PacketDamage = "packet-damage"

// DiskLie is the kind of the faults under which disks say what is not so.
const DiskLie = "disk-lie"

// HostileBytes is the kind of the faults that send servers what no client sends.
const HostileBytes = "bytes"

// Source is a sentence of the documentation, quoted or paraphrased.
type Source struct {
	Sentence string `json:"sentence"`
	// Address is where it stands; "" when the sentence says where.
	Address string `json:"address,omitempty"`
	// Rules: it is about the claim's Rules, else about its Model.
	Rules bool `json:"rules,omitempty"`
}

// Includes reports whether a history that breaks m breaks the claim.
func (c Claim) Includes(m Model) bool {
	switch m {
	case BoundedRecovery:
		return c.Bounds.Recovery > 0
	case BoundedOutage:
		return c.Bounds.Outage > 0
	case BoundedHandover:
		return c.Bounds.Handover > 0
	case BoundedExpiry:
		return c.Bounds.Expiry > 0
	case Refinement:
		return c.Specification != ""
	case Termination, Restartable, NoInternalError:
		return true
	}
	return c.Model.Implies(m) || slices.Contains(c.Rules, m)
}

// Broken reports whether the claim includes one of the models that an anomaly breaks.
// Nothing is allowed by omission: an anomaly of which nobody says what it breaks counts,
// and so does any where there is no claim.
func (c Claim) Broken(breaks []Model) bool {
	return len(breaks) == 0 || c.Origin == "" || slices.ContainsFunc(breaks, c.Includes)
}

// Assumes reports whether the claim takes something for granted, by its name.
func (c Claim) Assumes(name string) bool {
	return slices.ContainsFunc(c.Assumptions, func(a Assumption) bool { return a.Name == name })
}

// SourcesFor are the sentences that speak of a workload: of one with leases those about
// them, where there are any.
func (c Claim) SourcesFor(work Workload) []Source {
	if rules := c.sources(true); work.TTL > 0 && len(rules) > 0 {
		return rules
	}
	return c.sources(false)
}

// SourcesOf are the sentences that say what an anomaly of a workload breaks: those about rules if it breaks one.
func (c Claim) SourcesOf(work Workload, breaks []Model) []Source {
	rule := func(m Model) bool { return slices.Contains(c.Rules, m) }
	if rules := c.sources(true); slices.ContainsFunc(breaks, rule) && len(rules) > 0 {
		return rules
	}
	return c.SourcesFor(work)
}

// sources are the sentences about rules, or those about the model.
func (c Claim) sources(rules bool) []Source {
	var all []Source
	for _, s := range c.Sources {
		if s.Rules == rules {
			all = append(all, s)
		}
	}
	return all
}

// Bounds are the numbers in a claim. A run that goes beyond the clock bounds cannot break
// a claim that assumes them, it only exceeds it. A duration of 0 claims nothing.
type Bounds struct {
	// ClockRate is the share by which a server's monotonic clock may run fast or slow:
	// 0.01 for one percent.
	ClockRate float64 `json:"clockRate"`
	// ClockOffset is how far a server's wall clock may be from the truth; -1 when the
	// claim does not rest on wall clocks at all.
	ClockOffset Duration `json:"clockOffset"`
	// Recovery is how long after a confirmed heal every client's every kind of
	// operation may go without success.
	Recovery Duration `json:"recovery,omitempty"`
	// Outage is how long the same may go on while no more than a minority of nodes is
	// hit, from the moment the fault struck.
	Outage Duration `json:"outage,omitempty"`
	// Handover is how long after a lease's latest end, or its release, it may take
	// until a client that waits for it gets it.
	Handover Duration `json:"handover,omitempty"`
	// Expiry is how long after its latest end a lease may still be shown as held.
	Expiry Duration `json:"expiry,omitempty"`
}
