package benchmark

import (
	"testing"

	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// BenchmarkMillion reads and judges an object of a million elements.
func BenchmarkMillion(b *testing.B) {
	for _, name := range []string{"set", "queue", "counter"} {
		b.Run(name, func(b *testing.B) {
			kind, err := models.Find(name)
			if err != nil {
				b.Fatal(err)
			}
			recorded := million(Config{Seed: 1}, name)
			pointers := make([]*history.Operation, len(recorded))
			for i := range recorded {
				pointers[i] = &recorded[i]
			}
			b.ReportAllocs()
			for b.Loop() {
				object, err := kind.Parse(pointers, models.Options{})
				if err != nil {
					b.Fatal(err)
				}
				result, err := linear.Check(b.Context(), object.Model, object.Operations, linear.Options{Hints: object.Hints, Checks: object.Checks})
				if err != nil || result.Answer != order.Legal {
					b.Fatal(result.Answer, err)
				}
			}
		})
	}
}
