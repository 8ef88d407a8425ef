package history

// FIncrement adds one to a counter that begins at 0, and returns what it is then:
//
//	increment   null → the new value
const FIncrement = "increment"
