package run

import (
	"fmt"
	"sort"
	"strings"

	"nemesis/history"
	"nemesis/nemesis"
)

// Describe prints a plan as a numbered tree, before it runs. The same plan is
// always printed the same.
func Describe(plan history.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan, seed %d\n", plan.Seed)
	server := plan.System.Name
	if plan.System.Version != "" {
		server += " " + plan.System.Version
	}
	if plan.System.Binary != "" {
		server += " from " + plan.System.Binary
	}
	fmt.Fprintf(&b, "├─ system     %s%s\n", server, options(plan.System.Options))
	slow := ""
	if plan.SlowNodes > 1 {
		slow = fmt.Sprintf(", %g times slower than usual", plan.SlowNodes)
	}
	fmt.Fprintf(&b, "├─ cluster    %s: %s%s\n", plan.Cluster.Spec, strings.Join(plan.Cluster.Nodes, " "), slow)
	if plan.Cluster.InsecureHostKeys {
		b.WriteString("│             any host key is accepted (--insecure-host-keys)\n")
	}
	rate := "as fast as they can"
	if plan.Workload.Rate > 0 {
		rate = fmt.Sprintf("at %g operations/s in all", plan.Workload.Rate)
	}
	fmt.Fprintf(&b, "├─ workload   %s: %d clients %s for %s, operations time out after %s\n",
		plan.Workload.Name, plan.Workload.Concurrency, rate, plan.TimeLimit, plan.OpTimeout)
	if plan.Workload.Keys > 0 {
		drawn := ""
		if d := plan.Workload.KeyDistribution; d != "" && d != history.UniformKeys {
			drawn = ", drawn " + map[string]string{history.ZipfKeys: "by Zipf", history.HotKeys: "with one of them hot"}[d]
		}
		fmt.Fprintf(&b, "│             %d keys at once, %d operations a key%s\n", plan.Workload.Keys, plan.Workload.OpsPerKey, drawn)
	}
	required := ""
	if plan.RequireFaults {
		required = ", all required"
	}
	if plan.RequireCoverage {
		required += ", and to meet each role and state"
	}
	if len(plan.Schedule) == 0 {
		b.WriteString("└─ faults     none\n")
		return b.String()
	}
	fmt.Fprintf(&b, "└─ faults     %s, one about every %s%s\n", strings.Join(plan.Faults, " "), plan.FaultInterval, required)
	for _, line := range strings.Split(strings.TrimRight(nemesis.Describe(plan.Schedule), "\n"), "\n") {
		b.WriteString("   " + line + "\n")
	}
	return b.String()
}

func options(set map[string]string) string {
	if len(set) == 0 {
		return ""
	}
	pairs := []string{}
	for name, value := range set {
		pairs = append(pairs, name+"="+value)
	}
	sort.Strings(pairs)
	return " (" + strings.Join(pairs, " ") + ")"
}
