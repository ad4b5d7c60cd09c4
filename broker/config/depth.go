package config

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// HCL's parser and evaluator call themselves for every bracket and operator of an expression, and a
// stack that is used up ends the process, which nothing can catch: a reload must not get there.
const (
	maxDepth     = 100  // brackets inside each other
	maxOperators = 1000 // operators in one expression
)

// tooDeep finds the first token that takes an expression beyond these limits, or nil.
func tooDeep(src []byte, name string) *hcl.Range {
	if !mayBeDeep(src) {
		return nil
	}
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos) // what else is wrong, the parser reports
	depth, operators := 0, 0
	for i := range tokens {
		switch tokens[i].Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
		case hclsyntax.TokenEqual, hclsyntax.TokenComma: // another expression begins
			operators = 0
		default:
			if isOperator(tokens[i].Type) {
				operators++
			}
		}
		if depth > maxDepth || operators > maxOperators {
			return &tokens[i].Range
		}
	}
	return nil
}

func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenPlus, hclsyntax.TokenStar, hclsyntax.TokenSlash,
		hclsyntax.TokenPercent, hclsyntax.TokenQuestion, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenDot,
		hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
		hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
		return true
	}
	return false
}

// mayBeDeep is a quick look that spares nearly every file the lexer. Brackets in strings and comments
// may make it say yes for nothing.
func mayBeDeep(src []byte) bool {
	depth, operators := 0, 0
	for _, c := range src {
		switch c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		case '=', ',':
			operators = 0
		default:
			if bytes.IndexByte([]byte("!-+*/%?&|.<>"), c) >= 0 {
				operators++
			}
		}
		if depth > maxDepth || operators > maxOperators {
			return true
		}
	}
	return false
}
