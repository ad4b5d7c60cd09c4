package pgwire

// SQLSTATE codes by PostgreSQL's condition names (appendix A of its manual): those the broker
// sends or tells apart.
const (
	SuccessfulCompletion                          = "00000"
	SQLServerRejectedEstablishmentOfSQLConnection = "08004"
	ConnectionFailure                             = "08006"
	ProtocolViolation                             = "08P01"
	FeatureNotSupported                           = "0A000"
	InvalidParameterValue                         = "22023"
	ReadOnlySQLTransaction                        = "25006"
	IdleInTransactionSessionTimeout               = "25P03"
	InvalidSQLStatementName                       = "26000"
	InvalidAuthorizationSpecification             = "28000"
	InvalidCursorName                             = "34000"
	InvalidCatalogName                            = "3D000"
	InsufficientPrivilege                         = "42501"
	SyntaxError                                   = "42601"
	UndefinedObject                               = "42704"
	DuplicatePreparedStatement                    = "42P05"
	TooManyConnections                            = "53300"
	ProgramLimitExceeded                          = "54000"
	ObjectNotInPrerequisiteState                  = "55000"
	CantChangeRuntimeParam                        = "55P02"
	QueryCanceled                                 = "57014"
	AdminShutdown                                 = "57P01"
	CannotConnectNow                              = "57P03"
	IdleSessionTimeout                            = "57P05"
	IOError                                       = "58030"
	InternalError                                 = "XX000"
)
