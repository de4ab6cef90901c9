#![allow(clippy::unwrap_used)]
use std::{fs,panic,path::Path,time::{Instant,Duration}};
fn run(target:&str,f:fn(&[u8]),secs:u64){
 let dir=Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
 let seeds:Vec<Vec<u8>>=fs::read_dir(dir).unwrap().map(|e|fs::read(e.unwrap().path()).unwrap()).filter(|b|b.len()<4000).collect();
 let mut x=0x1234_5678_9abc_def1u64; let mut r=move||{x^=x<<13;x^=x>>7;x^=x<<17;(x>>11) as usize};
 let start=Instant::now(); let (mut n,mut bad)=(0u64,0);
 while start.elapsed()<Duration::from_secs(secs)&&bad<3{
  let mut d=seeds[r()%seeds.len()].clone();
  for _ in 0..1+r()%6{ let l=d.len(); match r()%6{
   0 if l>0=>{d[r()%l]=r() as u8}
   1 if l>0=>{d[r()%l]^=1<<(r()%8)}
   2 =>{d.insert(r()%(l+1),(r()%16) as u8)}
   3 if l>0=>{d.remove(r()%l);}
   4 =>{let o=&seeds[r()%seeds.len()]; if o.len()>1{let a=r()%o.len(); let b=(a+1+r()%16).min(o.len()); let at=r()%(l+1); d.splice(at..at,o[a..b].iter().copied());}}
   _ if l>0=>{d[r()%l]=(r()%16) as u8}
   _=>{} } }
  n+=1;
  if panic::catch_unwind(||f(&d)).is_err(){bad+=1; println!("BAD {target} {}",d.iter().map(|b|format!("{b:02x}")).collect::<String>());println!("BADTEXT {}",d.escape_ascii());}
 }
 println!("{target}: {n} inputs, {bad} bad");
}
#[test] fn log_reader(){run("log_reader",mesher_properties::log_reader,60)}
#[test] fn admission(){run("admission",mesher_properties::admission,60)}
#[test] fn known(){
 for t in [r#"{"message":"m",1e400:1}"#,r#"{"message":"m","extra":01e400}"#,r#"{"message":"m","extra":1.e400}"#,r#"{"message":"m","extra":-.0e1}"#]{
  println!("KNOWN {t} fails: {}",panic::catch_unwind(||mesher_properties::admission(t.as_bytes())).is_err());
 }}
