package weir

// ValueOf is for fuzzing.
var ValueOf = valueOf
