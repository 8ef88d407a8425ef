//go:build !(linux && (amd64 || arm64))

package shadow

import "testing"

func native(t testing.TB, arch string) *world {
	t.Skipf("code of %s runs on a Linux machine of that kind only", arch)
	return nil
}
