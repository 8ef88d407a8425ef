package ssh

import "strings"

// What the library's errors say in words alone. It has no types for them, so this is the one
// place that reads its texts; TestLibraryErrorsAreRecognised holds them to real exchanges, and
// fails when another version of the library words them differently.

// refusedUnasked tells that a server offered keyboard-interactive and refused it without a
// question. It answers so with message 51 of RFC 4252, SSH_MSG_USERAUTH_FAILURE, which the
// library takes for a mistake of the server's.
func refusedUnasked(err error) bool {
	return strings.Contains(err.Error(), "unexpected message type 51")
}

// ranOut tells that a server refused every method of a login, or hung up politely since
// there were too many.
func ranOut(err error) bool {
	return strings.Contains(err.Error(), "unable to authenticate") || strings.Contains(err.Error(), "disconnect")
}
