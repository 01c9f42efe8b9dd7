var verifJSON={
  "columns":["Invocations", "Latency\n(min,max,avg)", "II\n(min,max,avg)"]
  , "functions":
  [
    {
      "name":"tagger"
      , "data":
      ['10', '13,15,13.5', '1,2,1.25']
      , "details":
      [
        "Click for details"
      ]
      , "debug":
      [[{ "level":0 }]]
    }
    ,
    {
      "name":"Explicit component invocations"
      , "data":
      ['0', 'n/a,n/a,n/a', 'n/a,n/a,n/a']
      , "debug":
      [[{ "level":1 }]]
    }
  ]
};

