// Package faultfs is a file system below a server's data directory that can lose what was
// not synced, fail, lie and be slow. It is mounted over the directory by FUSE, and passes
// everything on to the directory beneath; without a fault it changes nothing, and when it
// goes away the files lie where they belong, whole.
//
//	server ──▶ kernel ──FUSE──▶ Disk ──▶ Volume ──▶ the directory beneath
//	                             │ rules: errors, delays, lies
//	                             └ control socket ◀── agent
//
// # What a power loss keeps
//
// A Volume writes every change to the directory at once, and remembers how to take back
// what was not synced. So a process that is killed loses nothing, as under any kernel; and
// Volume.PowerLoss makes the directory what a disk would hold that kept nothing but what
// was promised. This is the model, and the package's tests hold it against a second
// implementation in memory:
//
//   - A file has contents and a size in force, and contents and a size that are safe.
//     Writes, truncations and allocations change those in force. fsync and fdatasync make
//     what was in force when they began safe, as do writes by a descriptor that was opened
//     with O_SYNC or O_DSYNC. close, rename and time make nothing safe.
//   - The names below the directory change by operations: create, mkdir, symlink, mknod,
//     link, unlink, rmdir, rename. They are kept in order, and each becomes safe as a
//     whole: a rename is never half done.
//   - fsync of a directory makes every operation on a name in it safe.
//   - fsync of a file or directory makes its own names safe, with the directories that lead
//     to them, as ext4, XFS and btrfs do; with Options.Strict it does not, as POSIX
//     allows.
//   - When an operation becomes safe, so do those before it that it builds on: earlier ones
//     on the same names, and those inside a directory that it removes.
//   - A power loss takes back, newest first, every operation that is not safe, and gives
//     each file that is left its safe contents and size. A file whose name is safe and whose
//     contents never were is empty.
//   - With Loss.Sectors some of what was not safe stays, as a disk decides that was writing
//     when its power went: the oldest operations, as many as are drawn, and of each file
//     those sectors of 512 bytes that are drawn. Sectors between the safe size and the size
//     that is drawn for it, which were not drawn, read as zeros. What a truncation or a hole
//     dropped is there whole, or gone: that happened as a whole or did not, since no file
//     system mixes blocks that it freed with those that it wrote afterwards.
//
// What was there when the directory was mounted is safe. Nothing becomes safe by itself,
// which a kernel would do after some seconds; a server that relies on it relies on no
// promise. There is one exception: when what is to be remembered exceeds Options.Memory
// or Options.Space, everything is made safe at once, and counted (Stats.WrittenBack).
//
// Damage at rest (CorruptFlip and others) is none of this: it is there at once, and stays.
//
// Owners, permissions, times and extended attributes are not taken back. sync(2) and
// syncfs(2) do not reach a FUSE file system and make nothing safe.
package faultfs
