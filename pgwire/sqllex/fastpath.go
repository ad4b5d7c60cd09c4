package sqllex

// largeObjects are the functions that libpq calls by FunctionCall: lo_open and its like. Their
// descriptors end with the transaction. The numbers are fixed in PostgreSQL's pg_proc.dat.
var largeObjects = map[uint32]bool{
	715: true, 764: true, 765: true, 767: true, 952: true, 953: true, 954: true, 955: true, 956: true,
	957: true, 958: true, 964: true, 1004: true, 3170: true, 3171: true, 3172: true, 3457: true,
	3458: true, 3459: true, 3460: true,
}

// FunctionEffects names the effects of a FunctionCall message by the function's OID (W28). Large
// objects have none. Any other function may leave anything, and hardly any client calls one this
// way: the connection stays with its client and is closed afterwards.
func FunctionEffects(oid uint32) Flags {
	if largeObjects[oid] {
		return 0
	}
	return Dirty | Unresettable
}
