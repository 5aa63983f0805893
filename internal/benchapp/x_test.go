package benchapp
import ("testing";"encoding/json";"github.com/freshet-ml/freshet/internal/project")
func TestX(t *testing.T){ e:=NewEvents(1,7); b:=e.Append(nil,0,1_772_000_000_123); t.Logf("%s %v",b, json.Valid(b))
p,err:=project.Parse("f",Project()); if err!=nil{t.Fatal(err)}
r:=p.Schema.NewRecord(); t.Log(p.Schema.Decode(b,1_772_000_000_123,r))
for i:=range 5 { b:=e.Append(nil,i,1_772_000_000_123); t.Logf("%s %v", b, p.Schema.Decode(b,1_772_000_000_123,r))}
}
