package history

// Nearest is the one of names that somebody who wrote name most likely meant, "" when none
// is near: at most a third of it would have to be written otherwise.
func Nearest(name string, names []string) string {
	if len(name) > longestMisspelt {
		return ""
	}
	best, least := "", len(name)/3+1
	for _, other := range names {
		if d := distance(name, other); d < least {
			best, least = other, d
		}
	}
	return best
}

// longestMisspelt is longer than any name of ours; comparing takes its length squared.
const longestMisspelt = 64
