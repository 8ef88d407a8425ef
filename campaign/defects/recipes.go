package defects

import "maps"

// recipe is how a run shows a defect: the load and options that it needs under any fault, and the smallest fault.
type recipe struct {
	load, faults []string
	// lacks says what no run has yet that the fault takes; "" when nothing is missing.
	lacks string
}

const (
	lacksPower   = "unsynced data is lost only by machines whose power can be cut (--nodes vagrant)"
	lacksDisk    = "no fault makes a disk fail while a server starts"
	lacksPackets = "messages come twice or late by themselves only in simulation: TCP hides it"
	lacksBytes   = "hostile input does not begin with this protocol's greeting"
	lacksLuck    = "a flipped bit of a log seldom hits what is read again (--faults disk-lie,kill --disk-lie corrupt-flip)"
	lacksDeletes = "no workload deletes"
	lacksHops    = "no checker follows redirects"
)

// Loads.
var (
	three = []string{"--nodes", "local:3", "--concurrency", "4n", "--rate", "1500"}
)

func with(load []string, more ...string) []string {
	return append(append([]string{}, load...), more...)
}

// faulty are the flags of a fault.
func faulty(kinds, target string, more ...string) []string {
	return append([]string{"--faults", kinds, "--fault-target", target}, more...)
}

// recipes are those of all defects, by ID.
func recipes() map[string]recipe {
	snapshots := with(three, "--set", "snapshot-every=20")
	contended := with(three, "--concurrency", "10n", "--rate", "0", "--keys", "2")
	appends := with(three, "--workload", "append")
	counts := with(three, "--workload", "counter")
	long := []string{"--fault-hold", "4s", "--fault-interval", "6s"}
	all := shardRecipes()
	maps.Copy(all, map[string]recipe{
		"R01": {load: three, lacks: lacksPower},
		"R02": {load: appends, faults: faulty("power-loss", "all", "--power-loss", "all", "--fault-interval", "4s")},
		"R03": {load: contended, faults: faulty("kill,pause,partition", "leader,minority", "--fault-interval", "3s")},
		"R04": {load: contended, faults: faulty("partition", "leader,one", "--fault-interval", "2s")},
		"R05": {load: contended, faults: faulty("kill,partition", "leader", "--fault-interval", "2s")},
		"R06": {load: appends, faults: faulty("kill", "leader", "--fault-interval", "2s")},
		"R07": {load: with(three, "--nodes", "local:4"), faults: faulty("partition", "half", long...)},
		"R08": {load: three, lacks: lacksPackets},
		"R09": {load: contended, faults: faulty("partition,kill", "leader", "--fault-interval", "2s")},
		"R10": {load: snapshots, faults: faulty("partition", "one,leader", long...)},
		"R11": {load: snapshots, lacks: lacksPackets},
		"R12": {load: with(counts, "--set", "snapshot-every=20"), faults: faulty("partition,kill", "one,leader", "--fault-interval", "3s")},
		"R13": {load: with(counts, "--concurrency", "60"), faults: faulty("partition,kill", "leader", "--fault-interval", "3s")},
		"R14": {load: counts, faults: faulty("kill,partition", "leader", "--fault-interval", "2s")},
		"R15": {load: with(contended, "--op-timeout", "200ms"), faults: faulty("pause", "leader", "--fault-interval", "2s")},
		"R16": {load: three, faults: faulty("partition", "leader", long...)},
		"R17": {load: with(three, "--set", "reads=lease"), faults: faulty("partition+clock-step", "leader", "--clock-change", "wall:-60s", "--fault-hold", "1500ms", "--fault-interval", "3s")},
		"R18": {load: three, faults: faulty("partition", "one", long...)},
		"R19": {load: appends, faults: faulty("kill,partition", "leader", "--fault-interval", "2s")},
		"R20": {load: contended, faults: faulty("partition", "leader,one", "--fault-interval", "2s")},
		"R21": {load: with(counts, "--set", "snapshot-every=10"), faults: faulty("kill", "all,one", "--fault-interval", "2s")},
		"R22": {load: contended, faults: faulty("kill", "leader", "--fault-interval", "3s")},
		"R23": {load: three, faults: faulty("partition", "leader,one", "--fault-hold", "25s", "--fault-interval", "30s")},
		"R24": {load: three, faults: faulty("partition", "leader,one", "--fault-interval", "2s")},
		"R25": {load: three, faults: faulty("clock-step", "all", "--clock-change", "wall:-120s", "--fault-hold", "15s", "--fault-interval", "20s")},
		"R26": {load: three, faults: faulty("kill", "one", "--fault-hold", "15s", "--fault-interval", "20s")},
		"R27": {load: three, faults: faulty("partition", "one,leader", "--fault-interval", "2s")},
		"R28": {load: three, lacks: lacksBytes},
		"R29": {load: three, lacks: "silent connections are closed when the fault heals (--faults bytes --bytes idle:100)"},
		"R30": {load: three, lacks: lacksBytes},
		"R31": {load: three, faults: faulty("power-loss", "one,leader", "--power-loss", "some@sync:2", "--fault-interval", "3s")},
		"R32": {load: appends, faults: faulty("power-loss", "all", "--power-loss", "some@sync:2/after,some@sync:2", "--fault-interval", "3s")},
		"R33": {load: with(three, "--set", "snapshot-every=10"), faults: faulty("kill", "all,one", "--fault-interval", "1s")},
		"R34": {load: three, lacks: lacksDisk},
		"R35": {load: three, lacks: lacksLuck},
		"R36": {load: with(three, "--set", "snapshot-every=10"), faults: faulty("power-loss", "all", "--power-loss", "all", "--fault-interval", "14s")},
		"R37": {load: contended, faults: faulty("partition,kill", "leader", "--fault-interval", "2s")},
		"R38": {load: with(contended, "--nodes", "local:5"), faults: faulty("member+partition", "minority,half", "--fault-hold", "6s", "--fault-interval", "8s")},
		"R39": {load: counts, faults: faulty("pause", "leader", "--fault-hold", "3s", "--fault-interval", "5s")},
		"R40": {load: three, faults: faulty("file-limit+kill", "one", "--file-limit", "0", "--fault-hold", "3s", "--fault-interval", "5s")},
	})
	return all
}

// shardRecipes are those of the sharded store. Shards are moved in every run.
func shardRecipes() map[string]recipe {
	two := with(three, "--set", "replicas=2", "--set", "lease=1s", "--set", "clock-error=50ms")
	owners := with(two, "--workload", "shard-ownership")
	small := with(two, "--set", "copy-bytes=64")
	counts := with(two, "--workload", "counter")
	grows := with(small, "--workload", "set")
	long := []string{"--fault-hold", "3s", "--fault-interval", "5s"}
	return map[string]recipe{
		"K01": {load: owners, faults: faulty("partition", "one", long...)},
		"K02": {load: with(owners, "--set", "lease=500ms", "--set", "clock-error=20ms", "--rate", "1000"), faults: faulty("pause", "one", "--fault-hold", "2lease", "--fault-interval", "2s")},
		"K03": {load: owners, faults: faulty("clock-drift+partition", "one", "--clock-change", "monotonic:x0.96", "--fault-hold", "4s", "--fault-interval", "5s")},
		"K04": {load: owners, faults: faulty("clock-step", "leader", "--clock-change", "wall:+5s", "--fault-interval", "3s")},
		"K05": {load: owners, faults: faulty("partition+clock-step", "one", "--clock-change", "wall:-60s", "--fault-hold", "4s", "--fault-interval", "5s")},
		"K06": {load: owners, faults: faulty("pause,partition", "one", "--fault-interval", "2s")},
		"K07": {load: owners, faults: faulty("kill,partition", "leader,one", "--fault-interval", "2s")},
		"K08": {load: owners, lacks: lacksPackets},
		"K09": {load: owners, faults: faulty("partition,pause", "one", "--fault-hold", "1100ms", "--fault-interval", "2s")},
		"K10": {load: two, faults: faulty("partition,pause", "one", "--fault-hold", "1500ms", "--fault-interval", "3s")},
		"K11": {load: owners, faults: faulty("kill", "one", long...)},
		"K12": {load: grows, faults: faulty("kill", "one", long...)},
		"K13": {load: two, lacks: lacksPackets},
		"K14": {load: two, lacks: lacksPower},
		"K15": {load: owners, faults: faulty("pause", "one", "--fault-interval", "4s")},
		"K16": {load: grows, faults: faulty("kill", "one", "--fault-hold", "3s", "--fault-interval", "4s")},
		"K17": {load: owners, faults: faulty("kill", "one", long...)},
		"K18": {load: owners, faults: faulty("kill", "one", long...)},
		"K19": {load: two, lacks: lacksDeletes},
		"K20": {load: counts, faults: faulty("partition,kill", "one", "--fault-interval", "2s")},
		"K21": {load: owners, lacks: lacksPackets},
		"K22": {load: two, lacks: lacksHops},
		"K23": {load: owners, faults: faulty("partition", "one", "--fault-hold", "1s", "--fault-interval", "3s")},
		"K24": {load: owners, faults: faulty("kill", "one", "--fault-interval", "3s")},
		"K25": {load: grows, faults: faulty("partition", "one", "--fault-interval", "3s")},
		"K26": {load: grows, faults: faulty("kill", "one", long...)},
		"K27": {load: two, faults: faulty("disk", "one,all", "--disk", "delay:1500ms/op=sync", "--fault-hold", "6s", "--fault-interval", "8s")},
		"K28": {load: owners, faults: faulty("kill", "leader", "--fault-interval", "3s")},
	}
}
