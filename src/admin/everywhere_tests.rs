use super::*;

#[test]
fn the_parameter_is_taken_off() {
    let read = |query| {
        let (wanted, rest) = taken_off(query)?;
        Some((wanted.map_err(|error| error.to_string()), rest))
    };
    assert_eq!(read("limit=5&x"), None);
    assert_eq!(read("deployments=true"), None);
    assert_eq!(read("deployment=true"), Some((Ok(true), String::new())));
    assert_eq!(
        read("limit=5&deployment=false&by=user"),
        Some((Ok(false), "limit=5&by=user".to_owned()))
    );
    for (query, why) in [
        ("deployment", "`` is not true or false"),
        ("deployment=1", "`1` is not true or false"),
        ("deployment=true&deployment=true", "given twice"),
    ] {
        let (wanted, _) = read(query).expect("it is there");
        assert_eq!(wanted, Err(format!("deployment: {why}")));
    }
}
