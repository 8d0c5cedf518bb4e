# atlas migrate diff --env gorm
data "external_schema" "gorm" {
  program = ["go", "run", ".", "-dialect", "postgres", "-format", "up"]
}

env "gorm" {
  src = data.external_schema.gorm.url
  dev = "docker://postgres/15/dev"
  migration {
    dir = "file://migrations"
  }
}
