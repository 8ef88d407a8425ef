package ssh

import (
	"crypto/ed25519"
	"errors"
	"net"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// What the library says in words is recognised in real exchanges with a server. Another
// version of the library that words it differently fails here.
func TestLibraryErrorsAreRecognised(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	refuse := errors.New("no")
	questions := gossh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) { return nil, errNotAnswered })
	for name, c := range map[string]struct {
		server gossh.ServerConfig
		auth   []gossh.AuthMethod
		is     func(error) bool
	}{
		"refused without a question": {gossh.ServerConfig{
			PublicKeyCallback: func(gossh.ConnMetadata, gossh.PublicKey) (*gossh.Permissions, error) {
				return nil, &gossh.PartialSuccessError{Next: gossh.ServerAuthCallbacks{
					KeyboardInteractiveCallback: func(gossh.ConnMetadata, gossh.KeyboardInteractiveChallenge) (*gossh.Permissions, error) {
						return nil, refuse
					},
				}}
			},
		}, []gossh.AuthMethod{gossh.PublicKeys(signer), questions}, refusedUnasked},
		"every key refused": {gossh.ServerConfig{
			PublicKeyCallback: func(gossh.ConnMetadata, gossh.PublicKey) (*gossh.Permissions, error) { return nil, refuse },
		}, []gossh.AuthMethod{gossh.PublicKeys(signer)}, ranOut},
		"too many tries": {gossh.ServerConfig{
			MaxAuthTries:      1,
			PublicKeyCallback: func(gossh.ConnMetadata, gossh.PublicKey) (*gossh.Permissions, error) { return nil, refuse },
		}, []gossh.AuthMethod{gossh.PublicKeys(signer, signer)}, func(err error) bool { return ranOut(err) || hungUp(err) }},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			c.server.AddHostKey(signer)
			go func() {
				if conn, err := listener.Accept(); err == nil {
					gossh.NewServerConn(conn, &c.server) // which ends it
				}
			}()
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _, _, err = gossh.NewClientConn(conn, "", &gossh.ClientConfig{User: "u", Auth: c.auth, HostKeyCallback: gossh.InsecureIgnoreHostKey()})
			if err == nil || !c.is(err) {
				t.Errorf("it is not recognised: %v", err)
			}
		})
	}
	for _, err := range []error{errors.New("ssh: unexpected message type 3 (expected one of [60 52])"), errors.New("ssh: no common algorithm for host key")} {
		if refusedUnasked(err) || ranOut(err) {
			t.Errorf("%v is taken for a refusal", err)
		}
	}
}
