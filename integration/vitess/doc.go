// Package vitess is empty. Its module holds what .ci/engines starts Vitess with: vtcombo,
// the whole of it in one process, as a tool; and its keyspaces.
package vitess
