package etcd

import "testing"

func TestLastWords(t *testing.T) {
	tests := []struct{ name, log, want string }{
		{"an empty log", "", ""},
		{"a fatal entry before others", `{"level":"info","msg":"hello"}
{"level":"fatal","msg":"discovery failed","error":"member 8e9e has already been bootstrapped"}
{"level":"info","msg":"bye"}
`, "discovery failed: member 8e9e has already been bootstrapped"},
		{"warnings only", `{"level":"info","msg":"hello"}
{"level":"warn","msg":"slow disk"}`, "slow disk"},
		{"plain text", "flag provided but not defined: -x\n", "flag provided but not defined: -x"},
		{"a panic with its stack", "{\"level\":\"info\",\"msg\":\"hello\"}\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: boom"},
		{"a panic that the log explains", "{\"level\":\"panic\",\"msg\":\"failed to create WAL\",\"error\":\"no space left on device\"}\npanic: failed to create WAL\n\ngoroutine 1 [running]:\n", "failed to create WAL: no space left on device"},
		{"a line torn by kill -9", "{\"level\":\"info\",\"msg\":\"hello\"}\n{\"level\":\"inf", `{"level":"inf`},
		{"escape sequences", `{"level":"error","msg":"\u001b[31mred\nline"}`, "\uFFFD[31mred line"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := lastWords([]byte(test.log)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
