package history

// A queue gives out each element that was put into it once:
//
//	enqueue   the element  → ok
//	dequeue   null         → ok the element, or null where there was none
//
// Elements are values of any kind; those of our workloads are whole numbers (EncodeInt).

// FGenerate asks for an identifier that nobody else gets:
//
//	generate  null  → ok the identifier, a value of any kind
const FGenerate = "generate"
