package executor

// openOnlyFile is for systems where a program can make links and pipes anywhere.
const openOnlyFile = 0
