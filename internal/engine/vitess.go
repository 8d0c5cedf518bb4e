package engine

// vitess is MySQL with Vitess in front of it, PlanetScale for example.
type vitess struct{ mysql }

// MostDeleted: Vitess refuses a statement that touches over 10,000 rows.
func (vitess) MostDeleted() int { return 5000 }
